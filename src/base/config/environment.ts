/** What stands in the environment for other reasons than to configure this program. */

/** Read by commands, not by configurations. */
const OF_COMMANDS: ReadonlySet<string> = new Set(["CRYPTO_EDGE_URL", "CRYPTO_EDGE_CONTEXT"]);

/** https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables */
const SERVICE = /_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)$/;
const SERVICE_ADDRESS = /_PORT(?:_[0-9]+_(?:TCP|UDP|SCTP))?$/;
const SERVICE_PART = /_PORT_[0-9]+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)$/;

export function isOfCommands(variable: string): boolean {
  return OF_COMMANDS.has(variable);
}

/**
 * Whether Kubernetes has set this variable into every pod, because a Service of the namespace has a name such as `crypto-edge`. It must
 * not be taken for a mistake in our own: the pod would not start any more once the Service is there.
 */
export function isServiceVariable(variable: string, value: string): boolean {
  if (SERVICE.test(variable) || SERVICE_PART.test(variable)) return true;
  return SERVICE_ADDRESS.test(variable) && /^(?:tcp|udp|sctp):\/\//.test(value);
}
