import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Patient } from "./testing-patient.ts";

test("a stuck request of a later incarnation is found as soon as one of the first", () => {
  const patient = new Patient();
  patient.depth = 4;
  patient.start();
  assert.equal(patient.pass(40_000), undefined);
  patient.start();
  let first = true;
  patient.latency = () => {
    const isStuck = first;
    first = false;
    return isStuck ? Number.POSITIVE_INFINITY : 1;
  };
  const { time } = patient;
  const verdict = patient.pass(10_000);
  assert.equal(verdict?.kind, "stuck-request");
  assert(verdict.at - time <= 2000, `found after ${verdict.at - time} ms`);
});
