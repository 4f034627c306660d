import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { parseSpec } from "../front/spec.ts";
import { NbdClient } from "../nbd/client/client.ts";
import { REGION_BYTES } from "./loads.ts";
import { DISK_PLACE, FOLDER_PLACE, isAlwaysFresh, placeSpec } from "./place.ts";
import type { CampaignOptions } from "./plan.ts";
import { prepareStand } from "./prepare.ts";

/**
 * Whether trials can be made of a target, before any is: it starts without a fault, can be written to, has what was written, and the
 * next one begins with zeroes again. `folder` exists. Nothing is written to a store that holds anything but zeroes. Rejects with
 * `bad-target`, or as the front does.
 */
export async function probe(options: CampaignOptions, folder: string): Promise<void> {
  const mustHave = `put ${FOLDER_PLACE} or ${DISK_PLACE} where it keeps its blocks: each trial needs zeroes of its own`;
  const turns = isAlwaysFresh(parseSpec(options.spec)) ? ["first"] : ["first", "second"];
  for (const turn of turns) {
    const own = join(folder, turn);
    mkdirSync(own);
    const spec = placeSpec(options.spec, own);
    const { stand } = prepareStand({ spec, options, folder: own, strikes: () => [], tell: () => {} });
    try {
      await stand.start();
      const client = await NbdClient.connect(stand.uri);
      try {
        if (client.readOnly) throw refused(options, "it is read-only, and a load writes");
        const region = await client.read(0, Math.min(REGION_BYTES, client.size));
        if (region.some((byte) => byte !== 0)) throw refused(options, `its store is not empty; ${mustHave}`);
        if (turn === "first") await write(client, options);
      } finally {
        client.destroy();
      }
    } finally {
      await stand.end();
    }
  }
}

async function write(client: NbdClient, options: CampaignOptions): Promise<void> {
  const block = new Uint8Array(client.minimumBlockSize).fill(0x5a);
  await client.write(0, block);
  if (client.canFlush) await client.flush();
  const found = await client.read(0, block.length);
  if (found.some((byte) => byte !== 0x5a))
    throw refused(options, "it forgets what it is given, one that stores was wanted");
}

function refused({ spec }: CampaignOptions, what: string): SkinkError {
  return new SkinkError("bad-target", `Cannot torture ${spec}: ${what}`);
}
