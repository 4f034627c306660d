/**
 * What a guard starts in its tests in place of a front: fake-front.ts LOG STEP…. It writes what happens to it to LOG, a line of JSON
 * each, and takes the steps in order:
 *
 *   store       keeps a counter (a memfd) and a listening socket with the manager, or takes up those that it inherits and counts on
 *   ready       says so             stopping   says so             takesOver   says so
 *   exit=3      ends like that      kill       ends by SIGKILL
 *   flood=600   stores so many memfds
 *   kept=flood-9   writes down whether that is kept
 *   mortal      from now on is killed, by itself, when it is told to stop
 *   leaves      says so
 *   deaf        stops its event loop for ever
 *   stay        stays until a signal comes, says that it stops, and ends with exit code 0
 *
 * A step behind "first:" is for the first front that has this log, one behind "later:" for all others.
 */
import { appendFileSync, closeSync, existsSync, readdirSync, readlinkSync, readSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { descriptorOf } from "../src/nbd/server/listening.ts";
import { createMemfd } from "../src/os/memfd.ts";
import { stopWithGuard } from "../src/service/guard-death.ts";
import { ServiceManager } from "../src/service/service-manager.ts";

const MEMORY = "memory";
const LISTENER = "listener";

const [log = "", ...script] = process.argv.slice(2);
let mortal = false;
const isFirst = !existsSync(log);
const service = new ServiceManager(process.env, process.pid, (message) => note("warning", { message }));
stopWithGuard(process.env);
const names = service.inherited.map(({ name }) => name);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => stop(signal));
note("start", { names, strangers: strangers() });
for (const step of script) {
  const [, when, what = ""] = /^(?:(first|later):)?(.*)$/.exec(step) ?? [];
  if (when === undefined || (when === "first") === isFirst) await take(what);
}

async function take(step: string): Promise<void> {
  const [what, argument] = step.split("=");
  switch (what) {
    case "store":
      return await store();
    case "ready":
      service.ready("fake");
      return note("ready");
    case "stopping":
      return service.stopping("fake");
    case "takesOver":
      service.takesOver();
      return note("takesOver");
    case "leaves":
      return service.leaves("fake");
    case "kept":
      return note("kept", { name: argument, isKept: await service.keeps(argument ?? "") });
    case "mortal":
      mortal = true;
      return;
    case "exit":
      return process.exit(Number(argument));
    case "kill":
      process.kill(process.pid, "SIGKILL");
      return await new Promise(() => {});
    case "flood":
      for (let index = 0; index < Number(argument); index++) flood(index);
      return;
    case "deaf":
      for (;;);
    case "stay":
      setInterval(() => {}, 1000);
      return await new Promise(() => {});
    default:
      throw new Error(`there is no step ${step}`);
  }
}

async function store(): Promise<void> {
  const memory = service.take(MEMORY) ?? createMemfd("skink-test", 4096);
  const listener = service.take(LISTENER);
  const server = createServer((socket) => socket.end(String(process.pid)));
  await new Promise<void>((resolve) => {
    server.listen(listener === undefined ? { path: `${log}.sock` } : { fd: listener }, resolve);
  });
  const count = Buffer.alloc(1);
  readSync(memory, count, 0, 1, 0);
  count[0] = (count[0] as number) + 1;
  writeSync(memory, count, 0, 1, 0);
  note("counted", { count: count[0] });
  if (listener !== undefined) return;
  service.store(MEMORY, memory);
  service.store(LISTENER, descriptorOf(server));
}

function flood(index: number): void {
  const fd = createMemfd("skink-test", 4096);
  service.store(`flood-${index}`, fd);
  closeSync(fd);
}

function stop(signal: string): void {
  note(signal);
  service.stopping("fake");
  if (mortal) process.kill(process.pid, "SIGKILL");
  process.exit(0);
}

/** Open descriptors that a front is not told of, and that Node doesn't make for itself. */
function strangers(): string[] {
  const told = service.inherited.map(({ fd }) => fd);
  const open = readdirSync("/proc/self/fd").map(Number);
  return open.filter((fd) => fd > 2 && !told.includes(fd)).flatMap(socketAt);
}

function socketAt(fd: number): string[] {
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    return /^socket:|memfd/.test(target) ? [target] : [];
  } catch {
    return [];
  }
}

function note(event: string, more: object = {}): void {
  appendFileSync(log, `${JSON.stringify({ pid: process.pid, event, ...more })}\n`);
}
