"""The pipeline in one thread, told by a seed: simulated time, store, broker and outside, and the program's own code in between.

Which worker goes on when, what a statement or a call meets, who is killed, frozen or cut off: all of it is drawn from the seed, so a
run that finds something is repeated by its number (`python -m tests.simulation --seed 123 --trace`).

    shape      what a seed stands for: orders, processes, faults      world      all of it put together, and one run
    agenda     what happens next, and the time                        oracle     what must hold after every step
    database   the store over an unreliable connection                endings    what must hold when all is over
    bus        the broker                                             fleet      thousands of seeds on all cores
    outside    gateway, carrier, mail and risk, with their own books  minimize   the smallest run that still fails
    workforce  workers and relays that die, freeze and come back      mutations  bugs to be found
    people     customers, operators, deliveries
"""
