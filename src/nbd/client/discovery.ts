import { decodeServer } from "../wire/option-replies.ts";
import { encodeInfoRequest, encodeMetaContextRequest } from "../wire/options.ts";
import { OPTION, OPTION_REPLY, type ReplyStyle } from "../wire/protocol.ts";
import { assumed, informed } from "./agreement.ts";
import { badServer } from "./errors.ts";
import { inquire } from "./establish.ts";
import { describeExport, type ExportInfo } from "./export-info.ts";
import { accepted, type Haggle, NO_DATA, refused, useOf } from "./haggle.ts";
import { contextsOf, WANTED_INFO } from "./handshake.ts";
import { establishOptions, type NbdConnectOptions, type NbdTarget } from "./options.ts";

export interface ListedExport {
  readonly name: string;
  readonly description: string;
}

export interface ListOptions extends NbdConnectOptions {
  /** All that the server says of each export; names and descriptions alone if left out. */
  readonly details?: boolean;
}

/** One export. Rejects as `NbdClient.connect` does. */
export function infoOf(target: string | NbdTarget, options: NbdConnectOptions): Promise<ExportInfo> {
  const wanted = establishOptions(target, options);
  return inquire(wanted, async (haggle) => askInfo(haggle, wanted.name, await haggle.agreeOnReplies(wanted.replies)));
}

/** All exports: with details, those of `ExportInfo`. Rejects as `NbdClient.connect` does, and where the server doesn't list. */
export function listOf(target: string | NbdTarget, options: ListOptions): Promise<ListedExport[]> {
  const wanted = establishOptions(target, options);
  return inquire(wanted, async (haggle) => {
    const exports = await listExports(haggle);
    if (options.details !== true) return exports;
    const style = await haggle.agreeOnReplies(wanted.replies);
    const infos: ExportInfo[] = [];
    for (const { name, description } of exports) {
      const info = await askInfo(haggle, name, style);
      // Some servers have a description for the list, and not for who asks after the export.
      infos.push({ ...info, description: info.description || description });
    }
    return infos;
  });
}

async function listExports(haggle: Haggle): Promise<ListedExport[]> {
  const replies = await haggle.ask(OPTION.LIST, NO_DATA);
  if (!accepted(replies)) throw refused("list the NBD exports", replies.at(-1));
  return replies
    .filter(({ type }) => type === OPTION_REPLY.SERVER)
    .map(({ data }) => {
      const listed = decodeServer(data);
      if (listed === undefined) throw badServer("it sent a malformed list of exports");
      return listed;
    });
}

/** What the server says of the export `name`, which isn't chosen by that. */
async function askInfo(haggle: Haggle, name: string, style: ReplyStyle): Promise<ExportInfo> {
  const listed = await haggle.ask(OPTION.LIST_META_CONTEXT, encodeMetaContextRequest({ name, queries: [] }));
  const contexts = accepted(listed) ? contextsOf(listed) : new Map<number, string>();
  const replies = await haggle.ask(OPTION.INFO, encodeInfoRequest({ name, wanted: WANTED_INFO }));
  if (!accepted(replies)) throw refused(useOf(name), replies.at(-1));
  return describeExport({ ...informed(assumed(name, style), replies), contexts });
}
