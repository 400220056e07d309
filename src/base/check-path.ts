/** Whether a path or an address that a configuration names can be what it has to be, without making it: a check leaves nothing behind. */
import { accessSync, constants, lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { notAFile } from "./read-file.ts";
import { checkSocketPathLength } from "./unix-address.ts";

/** @param shared whether several edges serve the path in turn @throws Error with a sentence */
export function checkSocketPath(path: string, shared: boolean): void {
  checkSocketPathLength(path, shared);
  const folder = dirname(path);
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) throw new Error(`the folder ${folder} does not exist: make it, or choose another path`);
  if (!found.isDirectory()) throw new Error(`${folder} is not a folder: choose another path`);
  // A link is no socket, wherever it leads.
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isSocket())
    throw new Error(`${path} is there and is no socket: choose another path`);
  checkAccess(folder);
}

/** A file that is there, or can be made; folders that are missing are made with it. @throws Error with a sentence */
export function checkWritableFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) throw notAFile(path);
  if (found === undefined && lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw new Error(`${path} is a link to nothing: remove it, or choose another path`);
  }
  let at = found === undefined ? dirname(path) : path;
  while (statSync(at, { throwIfNoEntry: false }) === undefined && at !== dirname(at)) at = dirname(at);
  checkAccess(at);
}

/** As `checkWritableFile`, for who makes no folders. @throws Error with a sentence */
export function checkFileInFolder(path: string): void {
  const folder = dirname(path);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`the folder ${folder} does not exist: make it, or choose another path`);
  }
  checkWritableFile(path);
  checkAccess(folder);
}

function checkAccess(path: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch {
    throw new Error(
      `${path} can't be written by this user: give it to the user that will run this, or choose another path`,
    );
  }
}
