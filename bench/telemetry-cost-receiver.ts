/** Takes whatever it is sent, and counts the requests. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

let requests = 0;
const server = createServer((request, response) => {
  requests += 1;
  request.resume();
  request.once("end", () => response.writeHead(200, { "content-type": "application/x-protobuf" }).end());
});
server.listen(0, "127.0.0.1", () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("message", () => process.send?.(requests));
process.once("disconnect", () => process.exit());
