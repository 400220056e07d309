import { type ForeignFunctions, LIBC } from "./libc.ts";

/** As `setsockopt`, for an option of the socket itself (SOL_SOCKET). What the system refuses stays as it is. */
export type SetSocketOption = (descriptor: number, option: number, value: Uint8Array) => void;

const SOL_SOCKET = 1;

/** Linux only, whose numbers these are. @throws where libc can't be called */
export function openSetSocketOption(foreign: ForeignFunctions): SetSocketOption {
  const { setsockopt } = foreign.open(LIBC.linux, {
    setsockopt: { parameters: ["i32", "i32", "i32", "bytes", "u32"], result: "i32" },
  });
  return (descriptor, option, value) => void setsockopt(descriptor, SOL_SOCKET, option, value, value.length);
}
