/* Stands for any set-uid program: is root for a while and does nothing. */
#include <unistd.h>

int main(void) { return sleep(20) > 0; }
