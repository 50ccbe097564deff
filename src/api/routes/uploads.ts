/** What jobs are made of: code and files, each named by its SHA-256. Answered by whichever coordinator is asked, straight into the store. */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { assetKey, bundleKey } from "../../storage/keys.js";
import type { ApiServer, Routes } from "../routing.js";
import { answers, Count, Sha256 } from "../schemas/basics.js";

const Upload = Type.Object({ sha256: Sha256("Of its bytes."), sizeBytes: Count("Its size.") }, { title: "Upload" });
const UploadPath = Type.Object({ sha256: Sha256("Of the bytes, in lower-case hex.") });

const KINDS = [
  {
    path: "bundles",
    ids: ["uploadBundle", "showBundle"],
    what: "the code of a topology, as `millrace submit` bundles it",
    media: "application/javascript",
    bytesMax: limits.apiBundleBytesMax,
    keyOf: bundleKey,
  },
  {
    path: "assets",
    ids: ["uploadAsset", "showAsset"],
    what: "a file that a service's handler declares, such as a model",
    media: "application/octet-stream",
    bytesMax: limits.apiUploadBytesMax,
    keyOf: assetKey,
  },
] as const;

export const uploadRoutes: Routes = async (app, { store }) => {
  for (const { path, ids, what, media, bytesMax, keyOf } of KINDS) {
    const schema = { tags: ["jobs"], params: UploadPath } as const;
    app.get(
      `/v1/${path}/:sha256`,
      {
        config: { role: "submitter" },
        schema: {
          ...schema,
          operationId: ids[1],
          summary: `Whether the store has ${what}`,
          response: answers({ 200: Upload }),
        },
      },
      async ({ params: { sha256 } }) => {
        const found = await store.head(keyOf(sha256));
        if (found !== undefined) return { sha256, sizeBytes: found.sizeBytes };
        throw new MillraceError("MILL_REQUEST_NOT_FOUND", `nobody has uploaded ${path.slice(0, -1)} ${sha256}.`);
      },
    );

    // A scope of its own: elsewhere a body is JSON.
    await app.register(async (plain) => {
      takeOnly(plain as unknown as FastifyInstance, media);
      const scope = plain as unknown as ApiServer;
      scope.put(
        `/v1/${path}/:sha256`,
        {
          config: { role: "submitter" },
          bodyLimit: bytesMax,
          schema: {
            ...schema,
            operationId: ids[0],
            summary: `Upload ${what}; what is there already is not read again`,
            consumes: [media],
            body: Type.Unsafe<IncomingMessage>({ contentMediaType: media, description: "The bytes." }),
            response: answers({ 200: Upload, 201: Upload }),
          },
        },
        async ({ params: { sha256 }, body, headers }, reply) => {
          const key = keyOf(sha256);
          const there = await store.head(key);
          if (there !== undefined) return reply.send({ sha256, sizeBytes: there.sizeBytes });
          try {
            if (Number(headers["content-length"] ?? 0) > bytesMax) throw tooLarge(bytesMax);
            const { sizeBytes } = await store.put(key, checked(body, sha256, bytesMax), { contentType: media });
            return reply.code(201).header("location", `/v1/${path}/${sha256}`).send({ sha256, sizeBytes });
          } catch (error) {
            reply.header("connection", "close"); // what is left of the body is not waited for
            throw error;
          }
        },
      );
    });
  }
};

function takeOnly(scope: FastifyInstance, media: string): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(media, (_request, payload, done) => done(null, payload));
}

/** As it comes; ends with an error, and so leaves nothing in the store, unless it is what was announced. */
async function* checked(
  body: IncomingMessage | undefined,
  sha256: string,
  bytesMax: number,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const piece of body?.iterator({ destroyOnReturn: false }) ?? []) {
      bytes += piece.length;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      hash.update(piece);
      yield piece;
    }
  } catch (cause) {
    if (MillraceError.is(cause)) throw cause;
    throw new MillraceError(
      "MILL_REQUEST_INVALID",
      "the body ended before all of it had come. Send it again.",
      {},
      { cause },
    );
  }
  const found = hash.digest("hex");
  if (found === sha256) return;
  const message = `the body has the SHA-256 ${found}, and the path says ${sha256}. Nothing was kept; send the right bytes, or correct the path.`;
  throw new MillraceError("MILL_REQUEST_INVALID", message);
}

function tooLarge(bytesMax: number): MillraceError {
  return new MillraceError("MILL_REQUEST_TOO_LARGE", `the body is larger than ${bytesMax} bytes. Nothing was kept.`);
}
