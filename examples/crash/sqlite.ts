import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Workload } from "./workload.ts";

const STEPS = 5;
const ACCOUNTS = 60;
/** A page holds four accounts: a transaction changes several pages. */
const NOTE_BYTES = 900;
const TRANSFERS = 3;
/** In pages: a write-ahead log is taken into the database several times. */
const CHECKPOINT_EVERY = 20;

/**
 * A bank: each transaction moves money between some accounts, and says so in a table. Whatever becomes of it, no money is made or lost,
 * and what was committed is there.
 */
export function sqliteWorkload(journal: "delete" | "wal", synchronous: "full" | "extra"): Workload {
  return {
    async run(folder, acknowledge) {
      const bank = open(folder);
      try {
        bank.exec(`pragma journal_mode = ${journal}; pragma synchronous = ${synchronous};
          pragma wal_autocheckpoint = ${CHECKPOINT_EVERY};
          create table account (id integer primary key, money integer, note text);
          create table committed (step integer primary key)`);
        bank.exec("begin");
        const add = bank.prepare("insert into account values (?, 100, ?)");
        for (let id = 0; id < ACCOUNTS; id++) add.run(id, "".padEnd(NOTE_BYTES, `${id} `));
        bank.exec("commit");
        bank.exec("insert into committed values (0)");
        await acknowledge(0);
        for (let step = 1; step <= STEPS; step++) {
          transfer(bank, step);
          await acknowledge(step);
        }
      } finally {
        bank.close();
      }
    },

    async check(folder, acknowledged) {
      const bank = open(folder);
      try {
        const is = (sql: string): unknown => Object.values(bank.prepare(sql).get() ?? {})[0];
        need("the integrity check", is("pragma integrity_check"), "ok");
        need("all money", is("select sum(money) from account"), 100 * ACCOUNTS);
        const last = is("select coalesce(max(step), 'none') from committed");
        if (last !== acknowledged + 1) need("the last transaction that is there", last, acknowledged);
        need("the number of transactions", is("select count(*) from committed"), Number(last) + 1);
      } finally {
        bank.close();
      }
    },
  };
}

function transfer(bank: DatabaseSync, step: number): void {
  bank.exec("begin");
  const move = bank.prepare("update account set money = money + ?, note = note || ' ' where id = ?");
  for (let number = 0; number < TRANSFERS; number++) {
    const from = (step * 7 + number * 20) % ACCOUNTS;
    move.run(-step, from);
    move.run(step, (from + 10) % ACCOUNTS);
  }
  bank.prepare("insert into committed values (?)").run(step);
  bank.exec("commit");
}

function open(folder: string): DatabaseSync {
  return new DatabaseSync(join(folder, "bank.db"));
}

function need(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what} is ${found}, ${wanted} was wanted`);
}
