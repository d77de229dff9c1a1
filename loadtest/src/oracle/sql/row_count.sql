SELECT toUInt64(count()) FROM measurements WHERE tenant = {tenant:String}
