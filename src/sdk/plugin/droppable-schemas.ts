/**
 * A plugin refers to the library of schemas for as long as it lives, and with it a heap would keep the library's code, which is as much
 * as the edge's own way of a request. So a plugin gets functions that go on to the library, which is dropped once the edge serves and loaded
 * again by whoever calls one after that. This file imports nothing of it.
 */
import { untilServing } from "../../base/system/start-code.ts";

type Schemas = typeof import("./schemas.ts");

export function droppable(schemas: Schemas): Omit<Schemas, "ADDRESS"> {
  const { ADDRESS: address, LeaseTimes, PasswordLogin } = schemas;
  // Nothing waits where a plugin calls: the module is loaded at once.
  const library = untilServing(schemas, () => require(address) as Schemas);
  return {
    Type: new Proxy({} as Schemas["Type"], {
      get: (_, key) => Reflect.get(library().Type, key),
      has: (_, key) => Reflect.has(library().Type, key),
    }),
    Section: (...given) => library().Section(...given),
    Address: (...given) => library().Address(...given),
    Duration: (...given) => library().Duration(...given),
    Name: (...given) => library().Name(...given),
    Path: (...given) => library().Path(...given),
    Secret: (...given) => library().Secret(...given),
    Size: (...given) => library().Size(...given),
    BrokerTls: (...given) => library().BrokerTls(...given),
    LeaseTimes,
    PasswordLogin,
  };
}
