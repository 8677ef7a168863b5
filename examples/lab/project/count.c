/* count FILE: prints how many lines, words and bytes FILE has. */
#include <ctype.h>
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: count FILE\n");
    return 2;
  }
  FILE *file = fopen(argv[1], "rb");
  if (!file) {
    perror(argv[1]);
    return 1;
  }
  long lines = 0, words = 0, bytes = 0;
  for (int byte; (byte = getc(file)) != EOF; ++bytes) {
    if (byte == '\n') ++lines;
    /* Wrong: of two blanks in a row the second ends no word. */
    if (isspace(byte)) ++words;
  }
  fclose(file);
  printf("%ld %ld %ld\n", lines, words, bytes);
  return 0;
}
