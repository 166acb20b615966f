"""``python -m parallel_evm``: the command line where the script is not on the path."""

from parallel_evm.cli import main

if __name__ == "__main__":
    main()
