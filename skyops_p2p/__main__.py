"""`python -m skyops_p2p` is `skyops`."""

from skyops_p2p.cli.main import main

if __name__ == "__main__":
    main()
