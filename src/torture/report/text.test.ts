import assert from "node:assert/strict";
import { test } from "node:test";
import { campaign, trial } from "./testing.ts";
import { textReport } from "./text.ts";

const LOSS = { outcome: "silent", wrong: 3, flushLies: 2, firstWrong: "sector 9 holds zeroes" } as const;

test("a campaign without trials has a report", () => {
  assert.match(textReport(campaign([])), /^0 trials in 12 s: no silent corruption or loss, no hang, no incident\n/);
});

test("one trial makes a whole report", () => {
  const report = textReport(campaign([trial(0)]));
  assert.match(report, /^1 trial in/);
  assert.match(report, /^ {2}kill +1 +1 +0 \(≤ 79\) +0 \(≤ 79\) +100 \(≥ 21\) +0 \(≤ 79\) +0 \(≤ 79\) +0 \(≤ 79\)$/m);
  assert.match(report, /^recovery, from the detection {2}all +1 +40 +40 +40 +40$/m);
  assert.match(report, /2,000 requests\/s in the middle trial. CPU time for a request: front 100 µs, driver 40 µs/);
  assert.doesNotMatch(report, /NaN|undefined|--only/);
});

test("transient and persistent faults are told apart", () => {
  const persistent = trial(1, { persistence: "persistent" }, { outcome: "failed honestly" });
  const [, transientTable = "", persistentTable = ""] = textReport(campaign([trial(0), persistent])).split(
    "Outcomes of ",
  );
  assert.match(transientTable, /^transient[\s\S]*\nall +1 +1 +0 \S+ \S+ +0 \S+ \S+ +100 /);
  assert.match(persistentTable, /^persistent[\s\S]*\nall +1 +1 +0 \S+ \S+ +0 \S+ \S+ +0 \S+ \S+ +100 /);
});

test("silent trials, hangs and incidents are told with the command that makes them again, others are not", () => {
  const report = textReport(
    campaign([
      trial(0),
      trial(1, {}, LOSS),
      trial(2, {}, { outcome: "hang", state: "recovering" }),
      trial(3, {}, { incident: "the front died" }),
      trial(4, {}, { outcome: "failed honestly", errors: 5 }),
    ]),
  );
  assert.match(report, /^5 trials in 12 s: 1 silent corruption or loss, 1 hang, 1 incident$/m);
  assert.deepEqual(report.match(/--only \d+$/gm), ["--only 1", "--only 2", "--only 3"]);
  assert.match(report, /^ {2}3 wrong sectors, 2 of them flushed: sector 9 holds zeroes$/m);
  assert.match(report, /^ {2}the device was recovering$/m);
  assert.match(report, /^ {2}incident: the front died$/m);
});

test("of a bad trial is told when its fault struck, if that is known", () => {
  const report = textReport(
    campaign([
      trial(0, {}, LOSS),
      trial(1, {}, { ...LOSS, struckMs: -12, struckRequests: 0 }),
      trial(2, {}, { ...LOSS, struck: false, struckMs: undefined, struckRequests: undefined }),
      trial(3, {}, { ...LOSS, struckMs: undefined, struckRequests: undefined }),
    ]),
  );
  assert.deepEqual(report.match(/^ {2}the fault .*$/gm), [
    "  the fault struck 35 ms into the load, after 58 requests",
    "  the fault struck 12 ms before the load began",
    "  the fault isn't known to have struck",
  ]);
});

test("a loss that Skink answers for is told from the lie of a driver that nobody verifies", () => {
  const trials = [trial(0, {}, LOSS), trial(1, { tier: "wire", kind: "lost", nth: 3 }, LOSS)];
  const report = textReport(campaign(trials));
  assert.match(report, /: 2 silent corruptions or losses \(1 by drivers that may have lied, unverified\), no hang/);
  assert.match(
    report,
    /^Trial 0: SILENT[\s\S]*^ {2}Skink's to answer for[\s\S]*^Trial 1: SILENT[\s\S]*^ {2}the driver may have lied/m,
  );
  assert.match(textReport(campaign(trials, { verify: "digests" })), /: 2 silent corruptions or losses, no hang/);
});

test("of very many bad trials the first ones are told, and how many there are", () => {
  const report = textReport(campaign(Array.from({ length: 130 }, (_, index) => trial(index, {}, LOSS))));
  assert.match(report, /130 silent corruptions or losses/);
  assert.equal(report.match(/--only/g)?.length, 100);
  assert.match(report, /… and 30 more bad trials: the JSON report has them all\.$/);
});

test("what a driver said does nothing to a terminal, and breaks no line", () => {
  const report = textReport(campaign([trial(0, {}, { ...LOSS, firstWrong: "a\u001b[2Jb\nc" })]));
  assert.match(report, /flushed: a \[2Jb c$/m);
});

test("what isn't known is a dash", () => {
  const unknown = { driverCpuMs: undefined, frontCpuMs: undefined, detections: [] };
  const report = textReport(campaign([trial(0, {}, unknown)]));
  assert.match(report, /front – µs, driver – µs/);
  assert.match(report, /^detection, from the strike {4}all +0 +– +– +– +–$/m);
});

test("a campaign that has been through JSON reads the same", () => {
  const whole = campaign([trial(0), trial(1, {}, LOSS)]);
  assert.equal(textReport(JSON.parse(JSON.stringify(whole))), textReport(whole));
});
