"""Reference networks in PyTorch's operators, written from the authors' released code. See ../reference_logits.py."""
