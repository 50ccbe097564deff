/** Records that operators refused. */
import { Card } from "../parts/basics.js";

export function DeadLettersTab({ job }: { readonly job: string }) {
  return (
    <Card title="Dead letters">
      <p class="empty">{job}</p>
    </Card>
  );
}
