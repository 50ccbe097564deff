/** A server of the HTTP API over a coordinator whose workers are played; time is the test's. */
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { openOnLoopback } from "../../../src/api/access.js";
import type { ApiOptions } from "../../../src/api/api-options.js";
import { type BuiltServer, buildServer } from "../../../src/api/server.js";
import type { Coordinator } from "../../../src/coordinator/coordinator.js";
import { Cluster, namespace } from "../coordinator/coordinator-cluster.js";

export class ApiCluster {
  #servers: BuiltServer[] = [];

  private constructor(
    readonly cluster: Cluster,
    readonly server: BuiltServer,
  ) {
    this.#servers.push(server);
  }

  /** A job runs, and its coordinator serves. */
  static async running(options: Partial<ApiOptions> = {}): Promise<ApiCluster> {
    const cluster = await new Cluster().running();
    const server = await buildServer(optionsOf(cluster, () => cluster.coordinator, options));
    await server.lead(true);
    return new ApiCluster(cluster, server);
  }

  /** Another coordinator, which follows. */
  async follower(options: Partial<ApiOptions> = {}): Promise<BuiltServer> {
    const server = await buildServer(optionsOf(this.cluster, () => undefined, options));
    this.#servers.push(server);
    return server;
  }

  get(url: string, headers: InjectOptions["headers"] = {}): Promise<LightMyRequestResponse> {
    return this.server.app.inject({ method: "GET", url, headers });
  }

  post(url: string, payload?: object, headers: InjectOptions["headers"] = {}): Promise<LightMyRequestResponse> {
    return this.server.app.inject({ method: "POST", url, headers, ...(payload === undefined ? {} : { payload }) });
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close();
    await this.cluster.coordinator.close();
  }
}

function optionsOf(cluster: Cluster, leader: () => Coordinator | undefined, options: Partial<ApiOptions>): ApiOptions {
  return {
    host: "127.0.0.1",
    port: 0,
    bus: cluster.bus,
    store: cluster.store,
    ports: cluster.ports,
    namespace,
    version: "1.2.3",
    access: openOnLoopback,
    leader,
    ...options,
  };
}
