/** Every route, by what it is about. */
import type { ApiOptions } from "../api-options.js";
import type { ApiServer, Routes } from "../routing.js";
import { checkpointRoutes } from "./checkpoints.js";
import { clusterRoutes } from "./cluster.js";
import { controlRoutes } from "./control.js";
import { deadLetterRoutes } from "./dead-letters.js";
import { eventRoutes } from "./events.js";
import { jobRoutes } from "./jobs.js";
import { modelRoutes } from "./models.js";
import { operationRoutes } from "./operations.js";
import { refRoutes } from "./refs.js";
import { serviceRoutes } from "./services.js";
import { submissionRoutes } from "./submissions.js";
import { uploadRoutes } from "./uploads.js";
import { workerRoutes } from "./workers.js";

const ALL: readonly Routes[] = [
  clusterRoutes,
  jobRoutes,
  controlRoutes,
  checkpointRoutes,
  serviceRoutes,
  deadLetterRoutes,
  workerRoutes,
  eventRoutes,
  uploadRoutes,
  submissionRoutes,
  operationRoutes,
  refRoutes,
  modelRoutes,
];

export async function allRoutes(app: ApiServer, options: ApiOptions): Promise<void> {
  for (const routes of ALL) await routes(app, options);
}
