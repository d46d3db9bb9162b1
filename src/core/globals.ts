// The names of the host that the public types mention. TypeScript declares them in its DOM library and in @types/node;
// a program may have neither, so the package brings the little that it needs. The interfaces merge with the others'.

declare global {
  namespace WebAssembly {
    interface Module {
      readonly [Symbol.toStringTag]?: "WebAssembly.Module";
    }
    interface Memory {
      grow(pages: number): number;
    }
  }
  interface URL {
    href: string;
  }
}

export {};
