"""Everything that a role or a command is made of, under one name."""

from workers.bootstrap.broker_admin import BrokerAdmin
from workers.bootstrap.reviewing import Reviewing
from workers.bootstrap.roles import Roles
from workers.bootstrap.views import Views


class Runtime(Roles, Views, Reviewing, BrokerAdmin):
    """The roles and the views over one foundation, opened once and closed together."""
