import { fileWorkload } from "./files.ts";
import { KeyValueStore, type Mistake } from "./key-value.ts";
import { RawStore } from "./raw-store.ts";
import { sqliteWorkload } from "./sqlite.ts";
import { checkPuts, PUTS, putOf, type Workload } from "./workload.ts";

/** What is recorded, and then checked in each state that a power cut may leave. */
export const WORKLOADS = {
  files: fileWorkload,
  "sqlite-delete": sqliteWorkload("delete", "extra"),
  "sqlite-delete-full": sqliteWorkload("delete", "full"),
  "sqlite-wal": sqliteWorkload("wal", "full"),
  "key-value": keyValueWorkload(),
  "key-value-no-directory-sync": keyValueWorkload("no directory sync"),
  "key-value-wrong-order": keyValueWorkload("wrong order"),
  "raw-store": rawWorkload(false),
  "raw-store-wrong-order": rawWorkload(true),
} satisfies Record<string, Workload>;

export type WorkloadName = keyof typeof WORKLOADS;

function keyValueWorkload(mistake?: Mistake): Workload {
  return {
    async run(folder, acknowledge) {
      const store = new KeyValueStore(folder, mistake);
      try {
        await acknowledge(0);
        for (let step = 1; step <= PUTS; step++) {
          const { key, value } = putOf(step);
          store.put(key, value);
          await acknowledge(step);
        }
      } finally {
        store.close();
      }
    },

    async check(folder, acknowledged) {
      const store = new KeyValueStore(folder);
      try {
        checkPuts((key) => store.get(key), acknowledged);
      } finally {
        store.close();
      }
    },
  };
}

function rawWorkload(wrongOrder: boolean): Workload {
  return {
    async run(uri, acknowledge) {
      const store = await RawStore.open(uri, wrongOrder);
      try {
        await acknowledge(0);
        for (let step = 1; step <= PUTS; step++) {
          const { key, value } = putOf(step);
          await store.put(key, value);
          await acknowledge(step);
        }
      } finally {
        await store.close();
      }
    },

    async check(uri, acknowledged) {
      const store = await RawStore.open(uri);
      try {
        checkPuts((key) => store.get(key), acknowledged);
      } finally {
        await store.close();
      }
    },
  };
}
