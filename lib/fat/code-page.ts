/** Code page 437, the OEM code page of most: FAT does not say in which one its short names are. spec-notes/fat.md, "Short names". */

const ABOVE_ASCII =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0'

/** The letter of each byte. */
export const CODE_PAGE_437: readonly string[] = [
  ...Array.from({ length: 128 }, (_, byte) => String.fromCharCode(byte)),
  ...ABOVE_ASCII,
]
