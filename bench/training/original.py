"""The loop of the original tutorial, as a reader would write it today."""

from eager import main

if __name__ == "__main__":
    main(workers=0)
