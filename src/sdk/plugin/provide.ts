/** Makes `crypto-edge/plugin` importable by plugins, wherever they lie. Imported once, by the program, before plugins are loaded. */
import { provideVirtualModule } from "../../edge/plugin-host/virtual-module.ts";

provideVirtualModule(async () => {
  const [schemas, everything, { droppable }] = await Promise.all([
    import("./schemas.ts"),
    import("./index.ts"),
    import("./droppable-schemas.ts"),
  ]);
  return { ...everything, ...droppable(schemas) };
});
