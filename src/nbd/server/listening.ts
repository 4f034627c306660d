import type { Server } from "node:net";

/** The descriptor on which `server` listens; it stays the server's. By reflection, since Node tells it nowhere. */
export function descriptorOf(server: Server): number {
  const handle: unknown = Reflect.get(server, "_handle");
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
  return typeof fd === "number" ? fd : -1;
}
