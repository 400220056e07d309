import { answerProblem, problem } from "../problem.ts";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * For a listener on loopback: refuses requests that name another host. A browser on this machine can be led to send those
 * by a page whose own name was made to point at 127.0.0.1 (DNS rebinding); it could then read the answers.
 */
export function createHostCheck(): (url: string) => Response | undefined {
  let seen = "";
  return (url) => {
    // One client writes the same name each time.
    if (seen !== "" && url.startsWith(seen)) return undefined;
    const authority = /^https?:\/\/([^/?#]*)/.exec(url)?.[1];
    if (authority !== undefined && LOOPBACK.test(authority)) {
      seen = `http://${authority}/`;
      return undefined;
    }
    return answerProblem(
      problem(
        421,
        "misdirected_request",
        "This listener is for this machine: call it as localhost, 127.0.0.1 or [::1].",
      ),
    );
  };
}

/** For a Unix socket, where the host is anything. */
export function checkTarget(url: string): Response | undefined {
  if (url.startsWith("http://")) return undefined;
  return answerProblem(problem(400, "invalid_request", "The request's target is not a path."));
}
