import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "./nearest.ts";

test("the nearest known word is found for a slip, and none for another word", () => {
  const known = ["size", "block", "latency", "readonly"];
  assert.equal(nearest("siez", known), "size");
  assert.equal(nearest("readOnly", known), "readonly");
  assert.equal(nearest("blok", known), "block");
  assert.equal(nearest("colour", known), undefined);
});
