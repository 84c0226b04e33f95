"""The same in the style of pytorch/examples: a DataLoader with a worker process."""

from eager import main

if __name__ == "__main__":
    main(workers=1)
