/** Makes `crypto-edge/plugin` importable by plugins, wherever they lie. Imported once, by the program, before plugins are loaded. */
import { provideVirtualModule } from "../../edge/plugin-host/virtual-module.ts";

provideVirtualModule(async () => {
  const [everything, schemas, broker, { droppable }] = await Promise.all([
    import("./index.ts"),
    import("./schemas.ts"),
    import("./broker.ts"),
    import("./droppable.ts"),
  ]);
  const { ADDRESS: _, ...exported } = { ...everything, ...droppable(schemas), ...droppable(broker) } as Record<
    string,
    unknown
  >;
  return exported;
});
