/** Files that the bundler turns into addresses. */

declare module '*?worker&url' {
  const address: string;
  export default address;
}
