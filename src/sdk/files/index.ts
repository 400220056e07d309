/**
 * `crypto-edge/files`: sealed files as streams, and parts of them. docs/sealed-file.md has the format.
 *
 * @packageDocumentation
 */
export { CryptoEdgeError } from "../client/index.ts";
export { isSealedFile, SealedFileError } from "../seal/format.ts";
export { openSealedFile, type RangeSource, type SealedFile } from "./random-access.ts";
export { type FilesEdge, openStream, rewrapStream, type SealStreamOptions, sealStream } from "./streams.ts";
