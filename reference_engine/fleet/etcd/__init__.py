"""A client of etcd v3 on trio, over the JSON gateway that every etcd has on its port for clients."""
