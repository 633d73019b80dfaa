// Perfetto's trace processor, as its web viewer runs it, between standard input and output.
const fs = require("fs");
const path = require("path");
const { stdin, argv } = process;
const folder = argv[2];
const bytesOf = (name) => new Uint8Array(fs.readFileSync(path.join(folder, path.basename(name))));

// Its glue code expects a web worker, and refuses Node.
delete globalThis.process;
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = class {};
globalThis.location = { href: "http://localhost/" };
globalThis.fetch = async (name) => ({ ok: true, arrayBuffer: async () => bytesOf(name).buffer });
globalThis.XMLHttpRequest = class {
  open(_, name) {
    this.name = name;
  }
  send() {
    this.response = bytesOf(this.name).buffer;
  }
};
console.log = console.warn = () => {};

(0, eval)(fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8"));
const port = { postMessage: (bytes) => fs.writeSync(1, bytes) };
self.onmessage({ data: port });
stdin.on("data", (bytes) => port.onmessage({ data: new Uint8Array(bytes) }));
