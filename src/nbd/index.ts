/** The NBD client: `skink/nbd`. */
export { type ErrorCode, SkinkError } from "../block/errors.ts";
export type { Extent } from "../block/request.ts";
export type { BulkOptions } from "./client/bulk.ts";
export { NbdClient } from "./client/client.ts";
export type { ListedExport, ListOptions } from "./client/discovery.ts";
export { NBD_ERROR_CODES, type NbdErrorCode, NbdRequestError } from "./client/errors.ts";
export type { MetaExtent } from "./client/exchange.ts";
export type { ExportInfo } from "./client/export-info.ts";
export type { PlacedExtent } from "./client/extent-walk.ts";
export type {
  NbdClientOptions,
  NbdConnectOptions,
  NbdTarget,
  RequestOptions,
  StatusOptions,
  WriteOptions,
  ZeroOptions,
} from "./client/options.ts";
export type { Reconnection, ReconnectOptions } from "./client/reconnector.ts";
export type { SparseRun } from "./client/sparse.ts";
export { type Address, formatUri, parseUri, type Target, type TlsParameters } from "./uri.ts";
export type { ReplyStyle } from "./wire/protocol.ts";
