/** Every route, by what it is about. */
import type { ApiOptions } from "../api-options.js";
import type { ApiServer, Routes } from "../routing.js";
import { checkpointRoutes } from "./checkpoints.js";
import { clusterRoutes } from "./cluster.js";
import { controlRoutes } from "./control.js";
import { eventRoutes } from "./events.js";
import { jobRoutes } from "./jobs.js";
import { serviceRoutes } from "./services.js";
import { workerRoutes } from "./workers.js";

const ALL: readonly Routes[] = [
  clusterRoutes,
  jobRoutes,
  controlRoutes,
  checkpointRoutes,
  serviceRoutes,
  workerRoutes,
  eventRoutes,
];

export async function allRoutes(app: ApiServer, options: ApiOptions): Promise<void> {
  for (const routes of ALL) await routes(app, options);
}
