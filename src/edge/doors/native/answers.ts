/**
 * Answers as the API writes them, from what operations give, into the text that goes out. Names and base64url hold nothing that JSON escapes.
 * Plaintexts are wiped once they have been written.
 */
import type { AnswerText } from "../../../base/network/http1/answer-text.ts";
import { wipe } from "../../../base/wipe.ts";
import type { CreatedKey, EncryptedValue, Opened, Rewrapped, ServiceKeyName } from "../../operations/operations.ts";

export function writeCreated(to: AnswerText, { wrapped, version, plaintext }: CreatedKey, cacheSeconds: number): void {
  to.ascii('{"wrapped":"').base64url(wrapped).ascii('","version":').number(version);
  if (plaintext === undefined) return void to.ascii("}");
  to.ascii(',"plaintext":"').secret(plaintext).ascii('","cache_seconds":').number(cacheSeconds).ascii("}");
  wipe(plaintext);
}

export function writeDecrypted(to: AnswerText, opened: Opened, cacheSeconds: number): void {
  writeOpened(to.ascii('{"plaintext":"'), opened, cacheSeconds);
}

export function writeDecryptedValue(to: AnswerText, opened: Opened, cacheSeconds: number): void {
  writeOpened(to.ascii('{"value":"'), opened, cacheSeconds);
}

function writeOpened(to: AnswerText, opened: Opened, cacheSeconds: number): void {
  to.secret(opened.plaintext);
  wipe(opened.plaintext);
  writeName(to.ascii('","'), opened);
  to.ascii(',"version":').number(opened.version).ascii(',"cache_seconds":').number(cacheSeconds).ascii("}");
}

export function writeRewrapped(to: AnswerText, rewrapped: Rewrapped): void {
  writeName(to.ascii('{"wrapped":"').base64url(rewrapped.wrapped).ascii('","'), rewrapped);
  to.ascii(',"version":').number(rewrapped.version);
  to.ascii(rewrapped.wasActive ? ',"was_active":true}' : ',"was_active":false}');
}

export function writeEncrypted(to: AnswerText, { wrapped, version }: EncryptedValue): void {
  to.ascii('{"wrapped":"').base64url(wrapped).ascii('","version":').number(version).ascii("}");
}

function writeName(to: AnswerText, { tenant, service }: ServiceKeyName): void {
  to.ascii('tenant":"').ascii(tenant).ascii('","service":"').ascii(service).ascii('"');
}
