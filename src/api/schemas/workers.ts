/** Workers, as `coordinator/describe.ts` tells of them. */
import Type from "typebox";
import { Count, List, OneOf, Quantity, Text, TimeMs } from "./basics.js";

const Gpu = Type.Object({
  uuid: Text("Name of the device."),
  kind: Text("Such as `NVIDIA H200`."),
  memoryBytes: Count("Its memory; 0: not known."),
  promisedThousandths: Count("Of 1,000, promised to hosts and instances."),
});

const Process = Type.Object({
  kind: OneOf(["host", "instance"], "What it is."),
  job: Text("Of which job."),
  service: Text("Of an instance; empty: it is a host."),
  name: Text("Its id."),
  state: Text("As its worker says."),
  memoryBytes: Count("Resident memory; 0: not known."),
  cpuMs: Quantity("Processor time that it has used; 0: not known."),
});

export const WorkerDetail = Type.Object(
  {
    worker: Text("Its id."),
    cpus: Quantity("Processors that it offers."),
    memoryBytes: Count("Memory that it offers."),
    gpus: List(Gpu),
    draining: Type.Boolean({ description: "It takes nothing new and leaves when what it has is done." }),
    heardMs: TimeMs("When it was heard of last."),
    memoryUsedBytes: Count("Memory of its machine that is in use; 0: not known."),
    cpusUsed: Quantity("Processors of its machine that are in use: 1.5 is one and a half."),
    processMemoryBytes: Count("Of its own process."),
    processes: List(Process, "What runs there, of all jobs."),
  },
  { title: "Worker" },
);
