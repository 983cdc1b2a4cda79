"""Lists for many users as files: ``recsys-lab recommend``.

- `inputs`: users, histories and item ids from files
- `conditions`: the options ``where`` and ``cap``
- `plan`: everything that is checked before the work begins
- `sources`: the histories of a range of users
- `shards`: files with the lists of a range of users
- `folder`: the output folder: settings, finished shards, manifest
- `job`: shards claimed by any number of processes
- `progress`: how far it is
"""
