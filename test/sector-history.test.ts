import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SECTOR_BYTES, SectorHistory } from "./sector-history.ts";

const ZEROES = new Uint8Array(SECTOR_BYTES);

test("a value that was overwritten before the read began is a lost write", () => {
  const history = new SectorHistory(1);
  const older = history.begin("stamp", 0, 1);
  history.end(older);
  const newer = history.begin("stamp", 0, 1);
  const during = history.beginRead();
  history.end(newer);
  history.endRead(during, 0, history.stamped(older));
  history.endRead(history.beginRead(), 0, history.stamped(newer));
  assert.throws(() => history.endRead(history.beginRead(), 0, history.stamped(older)), /Sector 0 holds the stamp/);
  assert.throws(() => history.endRead(history.beginRead(), 0, ZEROES), /change 2 was wanted/);
});

test("of two changes at the same time either may stay, and no mixture of them", () => {
  const history = new SectorHistory(1);
  const one = history.begin("stamp", 0, 1);
  const other = history.begin("zeroes", 0, 1);
  history.end(other);
  history.end(one);
  history.endRead(history.beginRead(), 0, history.stamped(one));
  history.endRead(history.beginRead(), 0, ZEROES);
  const mixture = history.stamped(one).fill(0, 256);
  assert.throws(() => history.endRead(history.beginRead(), 0, mixture), /a mixture/);
});

test("another sector's stamp is found, and a trimmed sector may hold anything", () => {
  const history = new SectorHistory(2);
  const change = history.begin("stamp", 0, 2);
  history.end(change);
  const first = history.stamped(change).slice(0, SECTOR_BYTES);
  assert.throws(() => history.endRead(history.beginRead(), 1, first), /in sector 0/);
  history.end(history.begin("unspecified", 1, 1));
  history.endRead(history.beginRead(), 1, first);
});
