/** Query and Discover Versions: what this server is (KMIP 1.4, sections 4.25 and 4.26). */
import { OBJECT_TYPE, QUERY, TAG } from "./enumerations.ts";
import { Fields } from "./fields.ts";
import type { WritePayload } from "./handler.ts";
import { integerOf, TYPE, unsignedOf } from "./ttlv.ts";
import { majorOf, minorOf, VERSIONS } from "./version.ts";

/** `operations`: those that are carried out in the version of the request. Functions that nothing is known of get no answer. */
export function query(payload: Fields, vendor: string, operations: readonly number[]): WritePayload {
  const asked = new Set(payload.repeated(TAG.queryFunction, TYPE.enumeration).map(unsignedOf));
  payload.end();
  return (writer) => {
    if (asked.has(QUERY.operations)) for (const operation of operations) writer.enumeration(TAG.operation, operation);
    if (asked.has(QUERY.objects)) {
      for (const objectType of Object.values(OBJECT_TYPE)) writer.enumeration(TAG.objectType, objectType);
    }
    if (asked.has(QUERY.serverInformation)) writer.text(TAG.vendorIdentification, vendor);
  };
}

/** Of the versions that the client lists those that are spoken here, else all; the newest first. */
export function discoverVersions(payload: Fields): WritePayload {
  const asked = payload.repeated(TAG.protocolVersion, TYPE.structure).map((item) => {
    const fields = new Fields(item);
    const major = integerOf(fields.required(TAG.protocolVersionMajor, TYPE.integer));
    const minor = integerOf(fields.required(TAG.protocolVersionMinor, TYPE.integer));
    fields.end();
    return `${major}.${minor}`;
  });
  payload.end();
  const shared = VERSIONS.filter(
    (version) => asked.length === 0 || asked.includes(`${majorOf(version)}.${minorOf(version)}`),
  );
  return (writer) => {
    for (const version of shared) {
      writer.structure(TAG.protocolVersion, () => {
        writer.integer(TAG.protocolVersionMajor, majorOf(version));
        writer.integer(TAG.protocolVersionMinor, minorOf(version));
      });
    }
  };
}
