/**
 * Every bound on a queue, a retry, a batch or a wait, with its unit in its name. The relations that must hold
 * between them are asserted at load, so a bad edit fails at once and not under load.
 */
import { invariant } from "./errors.js";

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** Rows of one frame; a batch over it is sliced. */
  rowsPerFrameMax: 65_536,
  /** Bytes of one frame, header and payload; what the bus must be able to carry, split as it needs to. */
  frameBytesMax: 256 * MiB,
  /** Bytes of the Avro header before the payload: room for the schema of a wide table, or a reason per refused row. */
  frameHeaderBytesMax: 4 * MiB,

  /** Bytes published and not yet flushed on one connection before `publish` asks its caller to wait. */
  busPendingBytesMax: 16 * MiB,
  /** Bytes of split messages that one subscriber may be putting together. */
  busReassemblyBytesMax: 512 * MiB,
  /** Characters of a subject, a pattern or a key; a NATS control line holds 4096 bytes with two of them. */
  busSubjectCharsMax: 1_024,
  /** Bytes that wait for a child process to read them; what comes on top is dropped, as a server drops a slow consumer. */
  busLinkQueueBytesMax: 512 * MiB,
  busConnectTimeoutMs: 5_000,
  /** A connection that misses two answers in a row counts as lost. */
  busPingIntervalMs: 15_000,
  busReconnectDelayMs: 500,
  busRequestTimeoutMs: 5_000,

  /** Bytes that a receiver grants to one channel. A larger single frame passes alone. */
  channelCreditBytes: 16 * MiB,
  channelCreditFrames: 64,
  /** Time after which a frame that is missing between others counts as lost, and no longer as late. */
  channelGapMs: 20,
  /** Time that a channel's end waits for an answer before it says again what was not answered; doubles up to the second. */
  channelRepeatMs: 200,
  channelRepeatMsMax: 2_000,
  /** Times that the same thing may be wrong with frames that come: until then they count as lost, then the channel fails. */
  channelBrokenFramesMax: 16,

  /** Bytes that the log of one partition of a durable exchange keeps, where the topology says nothing else. */
  exchangeLogBytesMax: 256 * MiB,
  /** Bytes of rows in one entry of a durable exchange's log; a server's `max_payload` (1 MiB unless set) must hold it. */
  exchangeEntryBytesMax: 512 * KiB,
  /** Bytes of one row in a durable exchange, however much its log may keep: it is one frame, with others in objects. */
  exchangeRowBytesMax: 240 * MiB,
  /** Bytes that one writer of a durable exchange has prepared or is filling before its input waits for a commit. */
  exchangeUnpublishedBytesMax: 64 * MiB,
  /** Bytes of entries in one object: what a savepoint keeps of an exchange, and what a job that begins from it reads first. */
  exchangeObjectBytesMax: 8 * MiB,
  /** Time after which the reader of a durable exchange looks whether its log is still the one that it began to read. */
  exchangeCheckIntervalMs: 5_000,
  /** Bytes behind a missing entry that a reader of a durable exchange keeps before it takes the entry for lost. */
  exchangeHeldBytesMax: 64 * MiB,
  /** Pauses before an append that found the log full, or a call that failed, is tried again; they double. */
  exchangeBackoffMs: 20,
  exchangeBackoffMsMax: 1_000,
  /** Failed calls in a row that are tried again; a full log is waited for as long as it takes. */
  exchangeAttemptsMax: 8,

  /** Bytes of a file that a sink hands on while it fills it, and how many such pieces it holds before whoever writes has to wait. */
  sinkPieceBytes: 256 * KiB,
  sinkPiecesHeldMax: 8,

  /** Bytes of a body in pieces that a folder holds without having told the disk of them. */
  storeUnsyncedBytesMax: 4 * MiB,
  /** Bytes above which an upload to S3 is a multipart one, and the size of a part. */
  storeMultipartBytes: 8 * MiB,
  storeAttemptsMax: 5,
  storeBackoffMs: 100,
  storeBackoffMsMax: 5_000,
  storePartsMax: 10_000,
  /** Parts of one upload that are on their way at a time; each is held in memory. */
  storePartsInFlight: 3,
  storeConnectTimeoutMs: 2_000,
  /** Silence on a connection after which a request counts as failed. */
  storeRequestTimeoutMs: 30_000,
  /** All attempts of a check, or of clearing up after a failed upload, together. */
  storeCheckTimeoutMs: 5_000,

  /** Bytes of one value above which content becomes a reference when its batch leaves its process, where the topology says nothing else. */
  inlineLimitBytes: 64 * KiB,
  /** Values of one batch that are on their way into the store at a time. */
  contentPutsInFlight: 4,
  /** Age from which on owned content is put again before it is handed out, and how many such times one process remembers. */
  contentTouchMs: 600_000,
  contentKnownMax: 65_536,
  /** Pause between two collections of a job's owned content. */
  contentCollectionMs: 600_000,
  /** Age below which content stays, whatever refers to it: longer than it is handed out without being put again. */
  contentAgeMsMin: 900_000,
  /** Objects that one collection reads, moves or deletes at a time. */
  contentCollectionObjectsAtOnce: 16,
  /** Time that whoever asks for a collection waits for its end. */
  contentCollectionTimeoutMs: 600_000,
  /** Bytes of content that one process keeps in memory, and that the processes of a node keep on its disk, together. */
  contentMemoryBytes: 256 * MiB,
  contentCacheBytes: 10 * 1024 * MiB,
  /** Content that a process has wanted once, and remembers: what it wants twice it keeps in memory. */
  contentOnceKnownMax: 4_096,
  /** Time for which it is not written down that a file of a cache's folder was used again. */
  contentUsedMs: 60_000,
  /** Time in which a read of content must bring its next 8 MiB, or its end. */
  contentTimeoutMs: 120_000,
  /** Pause before a process looks again whether another has brought what both want. */
  contentLockPollMs: 10,
  /** Time after which a process renews that it brings what others wait for: less often than they take it for one that stands still. */
  contentLockRenewMs: 20_000,
  /** Age of what another machine, or a process that cannot be asked, left in the cache's folder, from which on it is nobody's. */
  contentStaleMs: 600_000,
  /** Time for which nothing is written to a cache's folder that could not be written to. */
  contentCachePauseMs: 60_000,

  /** Content over HTTP, where nothing else is said: bytes of one object; the same of what is held in memory, which nothing raises. */
  httpBytesMax: 4096 * MiB,
  httpMemoryBytesMax: 512 * MiB,
  /** The same: time for a connection, until an answer begins, of silence within it, and of all attempts together. */
  httpConnectTimeoutMs: 10_000,
  httpAnswerTimeoutMs: 30_000,
  httpIdleTimeoutMs: 30_000,
  httpTimeoutMs: 600_000,
  /** The same: answers of one host under way at a time, and attempts in a row that bring nothing. */
  httpConcurrencyPerHost: 8,
  httpAttemptsMax: 4,
  /** Pauses between attempts, which double; the longest that a server may ask for before it counts as gone. */
  httpBackoffMs: 200,
  httpBackoffMsMax: 5_000,
  httpRetryAfterMsMax: 30_000,
  httpRedirectsMax: 5,
  /** Bytes of one object that `fetchContent` fetches, where nothing else is said. */
  fetchBytesMax: 64 * MiB,
  /** Time for which a connection is kept that nobody uses. */
  httpKeepAliveMs: 10_000,
  /** Bytes of an answer that is an error which are looked at. */
  httpErrorBytesMax: 4 * KiB,

  /** Of one run of `ffmpeg` or `ffprobe`: address space, and characters of its complaints that are looked at. */
  mediaMemoryBytesMax: 2048 * MiB,
  mediaErrorCharsMax: 4_096,
  /** Where a function of audio or video says nothing else: wall time of one run, bytes of its input, bytes that it makes of one. */
  mediaTimeoutMs: 120_000,
  mediaBytesMax: 4096 * MiB,
  mediaOutputBytesMax: 256 * MiB,
  /** The same: length of what is decoded, pixels of a frame, and frames taken from one video. */
  mediaDurationMsMax: 4 * 3_600_000,
  mediaPixelsMax: 40_000_000,
  mediaFramesMax: 1_000,
  /** The same for images: encoded bytes of one, time that it may take, and images cut out of one. */
  imageBytesMax: 128 * MiB,
  imageTimeoutMs: 30_000,
  imageCropsMax: 1_000,
  /** Characters of one text, where a function of texts says nothing else; the same where tokens are counted; chunks of one text. */
  textCharsMax: 16_000_000,
  textTokenCharsMax: 2_000_000,
  textChunksMax: 100_000,
  /** Of an index of vectors that `topK` searches, where it says nothing else: bytes of its file, and vectors. */
  vectorIndexBytesMax: 1024 * MiB,
  vectorIndexVectorsMax: 5_000_000,
  /** Characters of a text that `extract` gives to a model, of an answer, and entries of all lists of one, where it says nothing else. */
  extractCharsMax: 200_000,
  extractAnswerCharsMax: 262_144,
  extractEntriesMax: 10_000,
  /** Characters of a text that `embedText` gives to a model, where it says nothing else. */
  embedCharsMax: 200_000,
  /** The same of one image: boxes of text that `ocr` reads, things that `detect` finds, and boxes that it compares with one another. */
  textBoxesMax: 2_000,
  detectionsMax: 300,
  detectionCandidatesMax: 4_096,
  /** Characters of a text times the chunks that carry it along. */
  textRepeatedCharsMax: 256_000_000,

  /** Splits that an enumerator lists ahead of its readers. */
  splitsAheadMax: 10_000,
  /** Splits that a reader is given before it begins them: as many as last for that time at its pace, and no more than that. */
  splitsReadyMs: 2_000,
  splitsReadyMax: 64,
  /** Time that a reader waits for an answer before it asks again; doubles up to the second, for a listing may be slow. */
  splitRequestTimeoutMs: 200,
  splitRequestTimeoutMsMax: 2_000,
  /** Pause before a reader asks again where nobody answers; doubles up to the second. */
  splitRequestRepeatMs: 10,
  splitRequestRepeatMsMax: 200,
  /** Splits that an enumerator lists before other work of its process has its turn. */
  splitsListedInTurn: 128,
  /** Splits in hand for each reader from which on an enumerator makes a pause after each turn of its listing. */
  splitsInHand: 96,
  splitsListedPauseMs: 100,
  /** Records of an enumerator's log that a page repeats, and pages that a larger one does; sizes of pages. */
  splitPageParts: 16,
  splitPageLevels: 3,
  /** Objects of the log that are read at a time. */
  splitLogReads: 32,

  /** Time between two checkpoints of a region, where the topology says nothing else. */
  checkpointIntervalMs: 10_000,
  /** Time that an actor waits for the barriers of its channels before it cuts without them. */
  barrierAlignmentMs: 50,
  /** Time after which a checkpoint that not every actor has acknowledged is given up. */
  checkpointTimeoutMs: 60_000,
  /** Bytes of an actor's snapshot up to which it rides in the acknowledgement and in the manifest. */
  snapshotInlineBytesMax: 8 * KiB,
  /** Bytes of a snapshot that are copied, or hashed, before other work has its turn; a part of an upload to S3. */
  snapshotChunkBytes: 8 * MiB,
  /** Times in a row that a region may fail without a checkpoint between them before its job fails. */
  regionFailuresMax: 5,
  /** Pause before the third attempt in a row of a region, host or instance, and the longest; it doubles. The second begins at once. */
  regionBackoffMs: 500,
  regionBackoffMsMax: 10_000,
  /** Checkpoints in a row that a region may give up before it counts as failed and starts again. */
  checkpointFailuresMax: 3,
  /** Newest commits of a region that are kept, with what they refer to. */
  checkpointsKept: 3,
  /** Time that a savepoint may take, from its first checkpoint to its record. */
  savepointTimeoutMs: 600_000,
  /** Commits of a region after which its leader looks for snapshots that no record of its own names. */
  retentionSweepCommits: 64,

  /** Groups that the keys of an operator fall into; state moves in whole groups, so more instances than groups gain nothing. */
  keyGroups: 128,
  /** Rows of one batch of results that a keyed operator emits at the end of its input. */
  keyedBatchRows: 1_024,
  /** Keys whose state is encoded for a snapshot before other work has its turn. */
  keyedEncodeKeys: 1_024,

  /** Rows and bytes that one `infer` operator has under way: asked about, or waiting to be emitted. */
  inferWindowRows: 4_096,
  inferWindowBytes: 128 * MiB,
  /** Rows up to which it takes more although instances have enough to do. They are in each snapshot: a large window is paid for there. */
  inferAheadRows: 256,
  /** Ids of rows that an operator remembers between two checkpoints, to release them. */
  inferPassedIdsMax: 65_536,
  /** Rows whose requests an instance remembers after it has answered them, to be told by their names which answers may go. */
  answeredRowsMax: 262_144,
  /** Time after which a request that its instance does not hold was lost, and not late: longer than a message is on its way. */
  requestLostMs: 3_000,
  /** A heartbeat that comes later than this was kept back by a call: what has arrived meanwhile has not been looked at. */
  heartbeatLateMs: 200,
  /** Crashes a request may have been on board of before it is dead-lettered. */
  inferCrashesMax: 3,
  /** Time in which a connection to a model server must come about. */
  endpointConnectTimeoutMs: 10_000,
  /** Silence of a model server, before its answer or within it, after which a call counts as failed. */
  endpointIdleTimeoutMs: 120_000,
  /** Time that a handler waits for a model server to become ready, and the pause between two looks. */
  endpointReadyTimeoutMs: 60_000,
  endpointReadyPauseMs: 500,
  /** Bytes of one answer of a model server; of an answer that is an error; characters of it that a message repeats. */
  endpointAnswerBytesMax: 256 * MiB,
  endpointErrorBytesMax: 64 * KiB,
  endpointErrorCharsMax: 300,
  /** Characters of one line of a streamed answer. */
  endpointEventCharsMax: 4 * MiB,
  /** Where a service's declaration says nothing else. */
  serviceLoadTimeoutMs: 300_000,
  serviceWarmTimeoutMs: 120_000,
  serviceLoadAttemptsMax: 3,
  /** Bytes of the rows of one call of a handler. */
  callBytesMax: 64 * MiB,
  /** Time of one call of a handler. */
  callTimeoutMs: 600_000,
  /** Time of a request with all its waiting, tries and pauses; 0: none. A pool that is too small for its work must not lose rows. */
  callDeadlineMs: 0,
  callAttemptsMax: 3,
  callPauseMs: 200,
  callPauseMsMax: 10_000,
  /** Time of a call from which on its answers are kept in the object store, too. */
  answerPersistMs: 1_000,
  /** Answers in the object store that one client or instance writes, reads or deletes at a time, of one call. */
  answerObjectsAtOnce: 32,
  /** Ids of rows whose answers may be in the object store, which one client remembers, to delete them. */
  answersKeptMax: 65_536,
  /** Names of requests, the newest, that an instance has refused, given back or failed: what is sent twice may arrive long after. */
  refusalsKeptMax: 16_384,
  /** How often a client looks for requests whose time is up, or whose pause is over. */
  callSweepMs: 100,
  /** Time that a restored client waits to be told who holds its rows, and for how long after the restore it asks. */
  askWaitMs: 500,
  askForMs: 20_000,
  /** Time that an instance is put aside for when it fails more often than its peers; it doubles from time to time. */
  asideMs: 5_000,
  asideMsMax: 60_000,
  /** Age from which on what an instance has reported does not count for its depth: three heartbeats. */
  loadStaleMs: 3_000,
  /** Reports between heartbeats that all instances of a service send in a second, together, and that one of them sends at once. */
  loadReportsPerSecond: 1_000,
  loadReportsAtOnce: 8,
  /** Instances up to which the best of all is chosen; above, the better of two drawn at random. */
  balanceAllMax: 16,
  /** Work that a client has at one instance at most, where its calls are shorter than that: it hides the way there and back. */
  outstandingMs: 10,
  outstandingCallsMax: 64,
  /** Time that a request waits longer for the instance that it has an affinity to. */
  affinityWaitMs: 200,
  /** Time that an aborted call may take to end before its instance counts as hung. */
  callHungMs: 10_000,
  /** Bytes of answers that one instance keeps for rows that are asked about again. */
  journalBytesMax: 64 * MiB,
  /** Rows and bytes that one instance queues before it refuses. */
  instanceQueueRowsMax: 4_096,
  instanceQueueBytesMax: 256 * MiB,

  /** Hosts and instances that have ended and that a worker still reports. */
  workerEndedMax: 256,
  /** Hosts and instances up to which a worker reports every change at once; above, changes of so much time go out in one report. */
  workerReportAtOnceMax: 32,
  workerReportPauseMs: 50,
  heartbeatIntervalMs: 1_000,
  /** Reports of a host also drive progress bars, so they come more often. */
  hostReportIntervalMs: 200,
  /** Reports of a host say how its actors spend their time no more often than this. */
  actorLoadIntervalMs: 1_000,
  /** Rates and shares of time that are shown are of so much time, and at most twice that. */
  rateWindowMs: 3_000,
  /** Checkpoints of a region that ended, and its restarts, that a coordinator remembers; of all regions of a job together. */
  checkpointsListedMax: 100,
  restartsListedMax: 20,
  regionHistoryMax: 20_000,
  /** Times of calls that an instance reports are of so much time. */
  callTimesMs: 60_000,
  /** Silence after which a worker, host or instance counts as lost. */
  heartbeatTimeoutMs: 10_000,
  /** Time in which a topology's module must have been loaded: what it awaits at its top level may never come. */
  bundleLoadTimeoutMs: 300_000,
  /** Time in which the process of a host or an instance must have reported, once it runs. */
  processStartTimeoutMs: 600_000,
  /** Hosts in a row, in one place, that may fail to do so before their job fails. */
  hostStartsMax: 3,
  /** Silence of a host after which another hands out the splits of its sources: too soon does no harm, too late stops readers. */
  enumeratorSilenceMs: 2_000,
  /** Instances of a job that have ended and that its report still names. */
  instancesEndedMax: 64,
  /** Time for which a coordinator decides at a time, before it hears and renews again; as long as that took, if it took longer, but no more. */
  lookTurnMs: 20,
  lookTurnMsMax: 100,
  /** Time in which a new coordinator hears of what an earlier one has started. */
  adoptionMs: 3_000,
  /** Time between two renewals of the leader's lease, between two looks of a follower at it, and after a call that failed. */
  leaseRenewMs: 500,
  leaseLookMs: 250,
  leaseRetryMs: 100,
  /** Time that one call for the lease may take. */
  leaseCallTimeoutMs: 600,
  /** Time after which a leader that has not renewed its lease stops, and after which a follower that saw no renewal takes over. */
  leaseHoldMs: 1_800,
  leaseMs: 2_000,
  deployTimeoutMs: 30_000,
  /** HTTP API: a body that is no upload, an upload, the head of a request, a whole one, silence on a connection. */
  apiBodyBytesMax: 1 * MiB,
  apiUploadBytesMax: 16_384 * MiB,
  /** The code of a topology. */
  apiBundleBytesMax: 64 * MiB,
  apiHeadersTimeoutMs: 10_000,
  apiRequestTimeoutMs: 600_000,
  apiConnectionTimeoutMs: 60_000,
  apiKeepAliveMs: 10_000,
  apiHeadBytesMax: 16 * KiB,
  /** Connections of one coordinator, requests under way at a time, and those of one principal in a second. */
  apiConnectionsMax: 4_096,
  apiRequestsMax: 1_024,
  apiRequestsPerSecondMax: 2_000,
  /** Wrong access tokens that one address may send in that time, and addresses that are remembered for it. */
  apiFailuresMax: 20,
  apiFailuresMs: 60_000,
  apiFailingAddressesMax: 10_000,
  /** Time in which the coordinator that leads answers another. */
  apiHopTimeoutMs: 10_000,
  /** Planning of what was submitted, in a process of its own: time, resident memory, how many at once, and what it may say of the job. */
  planTimeoutMs: 60_000,
  planMemoryBytesMax: 1_024 * MiB,
  planAtOnceMax: 4,
  planSpecBytesMax: 64 * MiB,
  /** Jobs that have ended and are listed, newest first, and time for which that list is not read again. */
  endedJobsListedMax: 1_000,
  endedJobsListMs: 5_000,
  /** Services as endpoints: a request's body, requests at a time in one process, time until somebody is heard of and an idle client is closed. */
  endpointBodyBytesMax: 64 * MiB,
  endpointCallsMax: 256,
  endpointHearMs: 1_500,
  endpointIdleMs: 300_000,
  /** Time for which what jobs there are is not asked of the store again. */
  endpointJobsMs: 2_000,
  /** Listeners to events of one coordinator, and bytes that one of them may leave unread. */
  apiEventStreamsMax: 200,
  apiEventBytesMax: 1 * MiB,
  /** Dead letters: one of them, what is read for a page of them, and files and marks that are looked into for it. */
  deadLetterBytesMax: 64 * MiB,
  deadLetterScanBytesMax: 32 * MiB,
  deadLetterFilesMax: 1_000,
  deadLetterMarksMax: 2_000,
  /** Dead letters that one job replays, and bytes of them; that one request discards. */
  replayRowsMax: 1_000,
  replayBytesMax: 64 * MiB,
  discardsMax: 10_000,
  /** Numbers of each job that charts are drawn of: half an hour. */
  jobSampleIntervalMs: 5_000,
  jobSamplesKept: 360,
  /** Events that the coordinator that leads still knows. */
  eventsKept: 1_000,
  /** Time that a process has to drain before it is killed, and the part of it that an instance gives to its calls, or to its program. */
  drainTimeoutMs: 30_000,
  drainCallsMs: 25_000,
  drainProgramMs: 28_000,

  /** Sets of attributes that one metric of a process has. */
  telemetrySeriesMax: 2_000,
  /** Jobs whose checkpoints a coordinator keeps metrics of. */
  telemetryJobsMax: 256,
  /** Batches that the span of a commit is linked to. */
  telemetryLinksMax: 128,
  /** Time that an export of metrics may take, and what is left at the end of a process. */
  telemetryExportTimeoutMs: 10_000,
  telemetryFlushMs: 2_000,
  /** Pause between two complaints that telemetry cannot be sent. */
  telemetryComplaintMs: 60_000,
} as const;

invariant(limits.frameHeaderBytesMax < limits.frameBytesMax, "a frame has room for its header");
invariant(limits.frameBytesMax <= limits.busReassemblyBytesMax, "the largest frame can be put together again");
invariant(limits.frameBytesMax <= limits.busLinkQueueBytesMax, "the largest frame can cross a link");
invariant(limits.channelGapMs <= limits.channelRepeatMs, "a gap is asked for before its sender asks");
invariant(limits.regionBackoffMs <= limits.regionBackoffMsMax, "pauses between attempts of a region grow");
invariant(
  limits.splitsReadyMax < limits.splitsInHand,
  "a listing makes no pause before every reader has what it may have",
);
invariant(limits.splitRequestTimeoutMs <= limits.splitRequestTimeoutMsMax, "times to wait for a split grow");
invariant(limits.splitRequestRepeatMs <= limits.splitRequestRepeatMsMax, "pauses between questions for a split grow");
invariant(limits.snapshotInlineBytesMax <= limits.snapshotChunkBytes, "a snapshot in a message is one chunk");
invariant(limits.barrierAlignmentMs < limits.checkpointTimeoutMs, "a checkpoint outlives its alignment");
invariant(limits.channelRepeatMs <= limits.channelRepeatMsMax, "pauses between repetitions grow");
invariant(limits.exchangeEntryBytesMax * 2 <= 1 * MiB, "an entry fits NATS as it comes, with room for its header");
invariant(limits.exchangeEntryBytesMax * 2 <= limits.exchangeLogBytesMax, "a log has room for an entry");
invariant(
  limits.exchangeRowBytesMax + limits.exchangeObjectBytesMax + 2 * limits.frameHeaderBytesMax <= limits.frameBytesMax,
  "an object of entries has room for the largest row",
);
invariant(limits.exchangeBackoffMs <= limits.exchangeBackoffMsMax, "pauses between attempts grow");
invariant(limits.storeMultipartBytes >= 5 * MiB, "S3 refuses smaller parts, except for the last one");
invariant(limits.storeBackoffMs <= limits.storeBackoffMsMax, "pauses between attempts grow");
invariant(limits.contentLockRenewMs * 3 < limits.contentTimeoutMs, "who is only busy does not seem to stand still");
invariant(limits.contentTouchMs < limits.contentAgeMsMin, "content that is handed out is not old");
invariant(limits.httpBackoffMs <= limits.httpBackoffMsMax, "pauses between attempts grow");
invariant(limits.storeConnectTimeoutMs < limits.storeCheckTimeoutMs, "a check can try to connect twice");
invariant(limits.drainCallsMs < limits.drainTimeoutMs, "an instance gives back what it could not finish");
invariant(limits.drainProgramMs < limits.drainTimeoutMs, "an instance ends its program before it is ended itself");
invariant(limits.bundleLoadTimeoutMs < limits.processStartTimeoutMs, "who cannot load its topology can say so itself");
invariant(limits.callPauseMs <= limits.callPauseMsMax, "pauses between tries grow");
invariant(limits.heartbeatIntervalMs * 2 < limits.adoptionMs, "every worker and host reports while jobs are taken up");
invariant(limits.hostReportIntervalMs * 5 <= limits.enumeratorSilenceMs, "a few lost reports are no silence");
invariant(
  limits.enumeratorSilenceMs < limits.heartbeatTimeoutMs,
  "splits are handed out while a host may still come back",
);
invariant(limits.heartbeatIntervalMs * 3 <= limits.heartbeatTimeoutMs, "one lost heartbeat is not a lost worker");
invariant(
  limits.leaseRenewMs + 2 * limits.leaseCallTimeoutMs < limits.leaseHoldMs,
  "a renewal may fail once before its leader stops",
);
invariant(limits.lookTurnMs <= limits.lookTurnMsMax, "what takes turns may take longer ones");
invariant(limits.lookTurnMsMax * 5 <= limits.leaseRenewMs, "deciding keeps no leader from renewing its lease");
invariant(
  limits.leaseHoldMs * 1.1 < limits.leaseMs,
  "a leader stops before another begins, also where clocks run unevenly",
);
invariant(limits.leaseMs + limits.leaseLookMs < 3_000, "a leader that was killed is followed within three seconds");
