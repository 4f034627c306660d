import { eventsOf } from "../src/front/control-client.ts";
import type { FrontEvent, StreamedEvent } from "../src/front/events.ts";
import type { Front } from "./serve.ts";
import { within } from "./until.ts";

const EVENT_TIMEOUT_MS = 20_000;

/** Those that the front remembers, of one device if it is named. */
export async function eventsSoFar(front: Front, device?: string): Promise<FrontEvent[]> {
  const events: FrontEvent[] = [];
  for await (const event of eventsOf(front.control, false, new AbortController().signal)) {
    if (isOf(event, device)) events.push(event);
  }
  return events;
}

/** The number of the newest event. */
export async function newest(front: Front): Promise<number> {
  return (await eventsSoFar(front)).at(-1)?.seq ?? 0;
}

/** The first event behind number `after` that is of that type, of `device` if it is named. Waits for it. */
export async function nextEvent<Type extends FrontEvent["type"]>(
  front: Front,
  type: Type,
  { after, device }: { readonly after: number; readonly device?: string },
): Promise<FrontEvent & { type: Type }> {
  const over = new AbortController();
  const find = async (): Promise<FrontEvent & { type: Type }> => {
    for await (const event of eventsOf(front.control, true, over.signal)) {
      if (isOf(event, device) && event.seq > after && event.type === type) return event as FrontEvent & { type: Type };
    }
    throw new Error(`The front ended before an event of type ${type}`);
  };
  try {
    return await within(`an event of type ${type} after ${after}`, EVENT_TIMEOUT_MS, find());
  } finally {
    over.abort();
  }
}

function isOf(event: StreamedEvent, device: string | undefined): event is FrontEvent {
  return event.type !== "missed" && (device === undefined || event.device === device);
}
