// The part of WebAssembly's JavaScript interface that lowrank uses. TypeScript declares it in its DOM library
// only, which the sources do without: they must run where there is no DOM. The interfaces merge with the DOM's.
// What the public types mention is declared in globals.ts, which is part of the package.

declare namespace WebAssembly {
  interface Instance {
    readonly exports: Record<string, unknown>;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  interface MemoryDescriptor {
    readonly initial: number;
    readonly maximum?: number;
    readonly shared?: boolean;
  }
  const Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): { module: string; name: string; kind: string }[];
  };
  const Instance: {
    new (module: Module, imports: Record<string, Record<string, unknown>>): Instance;
  };
  const Memory: { new (descriptor: MemoryDescriptor): Memory };
  function validate(bytes: Uint8Array): boolean;
}
