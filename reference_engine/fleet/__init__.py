"""Many engines that change their configuration as one, by agreement in etcd."""
