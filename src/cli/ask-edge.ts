/** Asks an edge what it tells of itself: `status`, `top`, the watchers' listener. */
import { messageOf } from "../base/errors.ts";
import { NodeTransport } from "../sdk/client/node-transport.ts";
import { readAddress, type TransportAnswer } from "../sdk/client/transport.ts";
import { type Access, clientOptions } from "./context.ts";

const TIMEOUT_MS = 5_000;

export interface EdgeAsker {
  /** A GET's answer as text. @throws Error that says what to do */
  text(path: string): Promise<string>;
  close(): void;
}

export function askerOf(access: Access): EdgeAsker {
  const { url, tls, token } = clientOptions(access);
  const transport = new NodeTransport({ address: readAddress(url), tls, connections: 1 });
  return {
    async text(path) {
      let answer: TransportAnswer;
      try {
        const bearer = typeof token === "function" ? await token() : token;
        answer = await transport.send({
          method: "GET",
          path,
          headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
      } catch (error) {
        throw new Error(`the edge at ${url} does not answer (${messageOf(error)}): ${adviceOf(access)}`);
      }
      if (answer.status === 401) {
        throw new Error(
          `the edge at ${url} does not know who asks: give a client certificate with --cert and --key, or a token with --token`,
        );
      }
      if (answer.status === 404)
        throw new Error(`the listener at ${url} does not tell that: ask one that has "status: true"`);
      const text = new TextDecoder().decode(answer.body);
      // Readiness says no with a body that says why.
      if (answer.status !== 200 && !(path === "/readyz" && answer.status === 503)) {
        throw new Error(`the edge at ${url} answered ${answer.status}`);
      }
      return text;
    },
    close: () => transport.close(),
  };
}

function adviceOf({ url, cert }: Access): string {
  const general = "check the address, and that it runs";
  if (!url.startsWith("https:") || cert !== undefined) return general;
  return `${general}; where it wants a client certificate, give one with --cert and --key`;
}
