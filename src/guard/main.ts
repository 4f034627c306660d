/**
 * skink serve --guard …: what the command starts in place of a front. It loads nothing of a front: the less there is of it, the less
 * can go wrong with it. Options are the front's, which gets the same command line without --guard.
 */
import { exitNow } from "../os/exit.ts";
import { takeInherited } from "../service/inherited.ts";
import { Guard } from "./guard.ts";
import { say } from "./say.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

const [node = "", script = "", ...args] = process.argv;
const guard = new Guard({
  command: [node, ...process.execArgv, script, ...args.filter((argument) => argument !== "--guard")],
  descriptors: takeInherited(process.env, process.pid),
  say,
});
for (const signal of SIGNALS) process.on(signal, () => guard.signal(signal));
exitNow(await guard.run());
