"""etcd, where there are several hosts: the live settings and the leases of the whole fleet, kept by Raft.

    address    what `coordination_url` says        transport   endpoints, deadlines, failover, identity, errors
    client     keys, transactions, leases, watches  wire        how the JSON gateway writes them
    settings_store, leases                          the two ports

The client speaks the v3 API's JSON gateway, which every member has, by urllib3 (extra `etcd`). Nothing here is imported unless a
`coordination_url` is set.
"""
