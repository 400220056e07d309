/** Makes `crypto-edge/plugin` importable by plugins, wherever they lie. Imported once, by the program, before plugins are loaded. */
import { provideVirtualModule } from "../../edge/plugin-host/virtual-module.ts";

provideVirtualModule(() => import("./index.ts"));
