"""The decisions of the chain client, without a chain: which endpoint, which nonce, which fees, and what is final.

`facts` names what a chain tells; `endpoints` chooses whom to ask; `fees` what to pay; `transaction` is the life of one
transaction, `outbox` all of one account; `following` which blocks' events may be handed out. docs/chain.md.
"""
